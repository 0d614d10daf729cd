"""What models answer: accuracy and graded scores per prompt, edited or not (docs/method.md, section 2)."""
