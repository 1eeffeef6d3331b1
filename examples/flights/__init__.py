"""336,776 real flights of 2013 as four event streams, and a model that foresees late arrivals."""
