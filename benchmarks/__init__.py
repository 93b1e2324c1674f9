"""What DESIGN section 8 asks to be shown: each measure with the baseline it is divided by."""
