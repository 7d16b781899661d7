"""Images, their manifest, their crops."""
