"""What is compared, as data: cases, the artifacts they need, and how names map."""
