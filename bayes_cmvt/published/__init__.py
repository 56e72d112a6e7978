"""What printed results say without patient data: evidence, claims, information, a cohort."""
