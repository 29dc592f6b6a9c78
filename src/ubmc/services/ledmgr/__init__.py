"""ledmgr: which light shows what. Managers tell news; what a light makes of them is decided here."""
