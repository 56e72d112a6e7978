"""What is handed on: the deployed model as a file, and the calculator page."""
