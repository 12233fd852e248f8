"""What a good engineer would write without this package: the other side of every comparison; imports none of it."""
