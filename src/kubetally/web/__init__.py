"""The HTTP faces: Litestar applications and the server that runs them."""
