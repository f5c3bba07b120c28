-- Once for a server, by its admin: everybody may connect to the databases that a server
-- has from the start, until told otherwise.
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
