"""The operations of the service, one file for each subject: the entry for web, command line and handlers."""
