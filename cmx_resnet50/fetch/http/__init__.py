"""HTTP: one file over as many connections as help, each answer judged before it is believed."""
