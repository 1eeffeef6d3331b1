"""The online store on Redis or Valkey."""
