"""What a row costs in the store, by its layout and by its expiry."""
