"""The rows of one view: read, kept between batches, and written behind a fence."""
