"""``make bench``: what is promised about requests, exposure, memory and parsing, measured on a stand-in pair."""
