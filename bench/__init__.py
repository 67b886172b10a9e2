"""``make bench``: what the product promises about requests, exposure, memory and parsing, measured on a stand-in pair."""
