"""Reads settings; builds, opens and closes every object. The one package that imports all others."""
