"""The sweep: spec, space, compile, screen, verify, measure, select, journal, publish; a module a stage."""
