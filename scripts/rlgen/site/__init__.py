"""Pages that show every latent of every dictionary, and what is measured for them alone."""
