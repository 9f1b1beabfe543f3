"""Files of predictions → records → samples."""
