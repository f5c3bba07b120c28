-- Once for a server, by its admin: by default every role may connect to the databases
-- that a new server has.
REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;
