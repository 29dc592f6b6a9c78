"""The service securitymgr: certificates, whom the BMC trusts, policy, the audit trail, the self-test."""
