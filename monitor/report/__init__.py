"""Reports: what is stored about a platform in a country, beside the events that concern it, to be read and quoted."""
