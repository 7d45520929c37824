"""What happens to servers, done by real means to some of our own, one thing after another, under load."""
