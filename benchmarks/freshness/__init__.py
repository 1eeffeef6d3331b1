"""From event to row, beside a writer of plain rows."""
