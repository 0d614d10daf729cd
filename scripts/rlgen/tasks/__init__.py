"""What is asked, and what counts as right (docs/method.md, section 2). The organism's tasks: organism/families.py."""
