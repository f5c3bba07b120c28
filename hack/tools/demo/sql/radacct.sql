-- FreeRADIUS's accounting table with its standard columns and indexes for PostgreSQL.
CREATE TABLE radacct (
    radacctid           bigserial PRIMARY KEY,
    acctsessionid       text NOT NULL,
    acctuniqueid        text NOT NULL UNIQUE,
    username            text,
    groupname           text,
    realm               text,
    nasipaddress        inet NOT NULL,
    nasportid           text,
    nasporttype         text,
    acctstarttime       timestamptz,
    acctupdatetime      timestamptz,
    acctstoptime        timestamptz,
    acctinterval        bigint,
    acctsessiontime     bigint,
    acctauthentic       text,
    connectinfo_start   text,
    connectinfo_stop    text,
    acctinputoctets     bigint,
    acctoutputoctets    bigint,
    calledstationid     text,
    callingstationid    text,
    acctterminatecause  text,
    servicetype         text,
    framedprotocol      text,
    framedipaddress     inet,
    framedipv6address   inet,
    framedipv6prefix    inet,
    framedinterfaceid   text,
    delegatedipv6prefix inet,
    class               text
);

CREATE INDEX radacct_active_session_idx ON radacct (acctuniqueid) WHERE acctstoptime IS NULL;
CREATE INDEX radacct_bulk_close ON radacct (nasipaddress, acctstarttime) WHERE acctstoptime IS NULL;
CREATE INDEX radacct_bulk_timeout ON radacct (acctstoptime NULLS FIRST, acctupdatetime);
CREATE INDEX radacct_start_user_idx ON radacct (acctstarttime, username);

-- What the job sync-plans fills from the billing system.
CREATE TABLE plans (
    code       text PRIMARY KEY,
    name       text NOT NULL,
    mbit_down  integer NOT NULL,
    mbit_up    integer NOT NULL,
    synced_at  timestamptz NOT NULL DEFAULT now()
);

-- What the job sync-prices fills from there.
CREATE TABLE prices (
    plan  text PRIMARY KEY,
    cents integer NOT NULL
);
