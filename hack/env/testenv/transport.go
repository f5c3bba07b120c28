package testenv

import (
	"net/http"
	"testing"

	"k8s.io/client-go/rest"
)

// Transport returns a transport to the API server for a proxy, without credentials. It
// shares no connection with other clients, and speaks HTTP/1: on HTTP/2 the API server
// closes a connection on which a token is refused, and a proxy can't send the bodies of the
// other requests on it again.
func (e *Env) Transport(t testing.TB) http.RoundTripper {
	t.Helper()
	secured, err := rest.TLSConfigFor(rest.AnonymousClientConfig(e.Config))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: secured, MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}
