"""``str``'s algorithms over texts that come in pieces. Pure: no storage, no I/O, tested on plain lists."""
