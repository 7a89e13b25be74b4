"""The board: where the workers of a service show each other what they count."""
