"""Where a pack is: on this disk; S3 and HTTPS have their place here."""
