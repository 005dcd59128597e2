package transport

// Cause is why an aggregator could not be reached or would not serve, in one
// word that is also the `cause` field of --json. The words never change.
type Cause string

// The causes, from the network upwards. docs/operations.md has the same table
// with what the operator should do.
const (
	CauseDNS         Cause = "dns"         // the host name does not resolve
	CauseRefused     Cause = "refused"     // nothing listens on the port
	CauseUnreachable Cause = "unreachable" // no route, or a firewall that says so
	CauseTimeout     Cause = "timeout"     // no answer in time
	CauseReset       Cause = "reset"       // the connection was cut

	CauseNotTLS      Cause = "not-tls"     // the port answers, but not as an aggregator does
	CauseIntercepted Cause = "intercepted" // a middlebox answers in the aggregator's place

	CauseWrongCA      Cause = "wrong-ca"      // a certificate of another federation's CA
	CauseNameMismatch Cause = "name-mismatch" // a certificate for another name
	CauseWrongRole    Cause = "wrong-role"    // a certificate for another role
	CauseExpired      Cause = "expired"       // a certificate whose time is over
	CauseNotYetValid  Cause = "not-yet-valid" // a certificate whose time has not begun
	CauseRevoked      Cause = "revoked"       // a certificate the CA took back
	CauseClockSkew    Cause = "clock-skew"    // a clock is wrong rather than a certificate

	CauseNotInRoster     Cause = "not-in-roster"    // a valid collaborator the plan does not list
	CauseWrongFederation Cause = "wrong-federation" // the two sides run different plans
	CauseNotApproved     Cause = "not-approved"     // the bundle lacks an approval

	CauseUnavailable Cause = "unavailable" // the aggregator is starting, stopping or busy
	CauseInternal    Cause = "internal"    // a reason that has no word of its own
)

// remedy is what an operator can do about a cause, and whether waiting alone
// may mend it.
type remedy struct {
	retry bool
	hint  string
}

// remedies has one entry per Cause. {host} and {port} stand for
// the aggregator's.
var remedies = map[Cause]remedy{
	CauseDNS:             {true, "getent hosts {host}"},
	CauseRefused:         {true, "ask the aggregator's operator whether `fxrun aggregator` runs and listens on port {port}"},
	CauseUnreachable:     {true, "allow outgoing TCP to {host} port {port} in this site's firewall"},
	CauseTimeout:         {true, "allow outgoing TCP to {host} port {port} in this site's firewall"},
	CauseReset:           {true, "look for a proxy or firewall that cuts connections to {host} port {port}"},
	CauseNotTLS:          {false, "compare network.settings.agg_addr and agg_port of the plan with the aggregator's"},
	CauseIntercepted:     {false, "exempt {host} port {port} from TLS inspection in this site's proxy or firewall"},
	CauseWrongCA:         {false, "compare `fxctl cert inspect cert/cert_chain.crt` on both sides with the CA custodian's"},
	CauseNameMismatch:    {false, "compare the name in `fxctl cert inspect` with the name that the plan or --name says"},
	CauseWrongRole:       {false, "ask the CA custodian for a certificate of the right role: fxctl cert request --role ROLE --name NAME"},
	CauseExpired:         {false, "have the certificate renewed: fxctl cert request --role ROLE --name NAME"},
	CauseNotYetValid:     {true, "date -u"},
	CauseRevoked:         {false, "ask the CA custodian why the certificate was revoked, and for a new one"},
	CauseClockSkew:       {true, "date -u"},
	CauseNotInRoster:     {false, "ask the plan's author to list this collaborator in plan/cols.yaml"},
	CauseWrongFederation: {false, "compare `fxctl bundle verify FILE` on both sides: they must run the same bundle"},
	CauseNotApproved:     {false, "fxctl bundle approve FILE --as REVIEWER"},
	CauseUnavailable:     {true, "wait: the aggregator is starting, stopping or busy"},
	CauseInternal:        {true, "look into the aggregator's log"},
}

// known says whether s is one of the causes.
func known(s string) bool {
	_, ok := remedies[Cause(s)]
	return ok
}
