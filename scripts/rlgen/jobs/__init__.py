"""Around a script: claims, checks, resume, manifests. Knows no science (README.md beside this file)."""
