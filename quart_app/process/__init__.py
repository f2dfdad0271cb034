"""The process around the service: servers, signals, logging, files, HTTP clients."""
