//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
)

// controlPlane says where etcd, the API server and the controller manager run. `up`
// and `run` fill it in differently.
type controlPlane struct {
	pki           string // folder of certificates
	data          string // folder of etcd's data
	kubeconfigs   string // folder of the components' kubeconfigs
	address       string // of the API server
	port          int
	etcdPort      int
	etcdPeerPort  int
	reservedPorts bool // another process holds the ports with SO_REUSEPORT until they are bound
}

func (c controlPlane) server() string  { return fmt.Sprintf("https://%s:%d", c.address, c.port) }
func (c controlPlane) etcdURL() string { return fmt.Sprintf("http://127.0.0.1:%d", c.etcdPort) }

func (c controlPlane) certificate(file string) string { return filepath.Join(c.pki, file) }

func (c controlPlane) kubeconfig(component string) string {
	return filepath.Join(c.kubeconfigs, component+".kubeconfig")
}

// etcdArgs returns etcd's arguments. What the cluster holds is thrown away with it, so
// nothing is synced to disk.
func (c controlPlane) etcdArgs() []string {
	peer := fmt.Sprintf("http://127.0.0.1:%d", c.etcdPeerPort)
	return []string{
		"--data-dir=" + c.data,
		"--unsafe-no-fsync",
		"--listen-client-urls=" + c.etcdURL(),
		"--advertise-client-urls=" + c.etcdURL(),
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=default=" + peer,
		"--socket-reuse-port=" + strconv.FormatBool(c.reservedPorts),
		"--log-level=warn",
	}
}

func (c controlPlane) apiServerArgs() []string {
	return []string{
		"--etcd-servers=" + c.etcdURL(),
		"--bind-address=" + c.address,
		"--advertise-address=" + c.address,
		"--secure-port=" + strconv.Itoa(c.port),
		"--permit-port-sharing=" + strconv.FormatBool(c.reservedPorts),
		"--service-cluster-ip-range=" + serviceSubnet,
		"--endpoint-reconciler-type=" + c.endpointReconciler(),

		"--tls-cert-file=" + c.certificate("apiserver.crt"),
		"--tls-private-key-file=" + c.certificate("apiserver.key"),
		"--client-ca-file=" + c.certificate("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.certificate("service-account.pub"),
		"--service-account-signing-key-file=" + c.certificate("service-account.key"),
		"--authorization-mode=Node,RBAC",
		"--allow-privileged", // as installers of Kubernetes do, so that it is Pod Security that refuses it in a tenant's namespace
		// The second requires a right to the owner's finalizers of those that set a controller
		// as an owner, as OpenShift does.
		"--enable-admission-plugins=NodeRestriction,OwnerReferencesPermissionEnforcement",

		"--kubelet-certificate-authority=" + c.certificate("ca.crt"),
		"--kubelet-client-certificate=" + c.certificate("kubelet-client.crt"),
		"--kubelet-client-key=" + c.certificate("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP", // nothing resolves the node's name
	}
}

// endpointReconciler returns how the API server announces itself. One on loopback may not be
// the endpoint of the kubernetes Service, and without a node nothing asks for it.
func (c controlPlane) endpointReconciler() string {
	if c.address == "127.0.0.1" {
		return "none"
	}
	return "lease"
}

// controllerManagerArgs raises the limits that a burst of Jobs would reach first.
func (c controlPlane) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + c.kubeconfig("controller-manager"),
		"--use-service-account-credentials",
		"--service-account-private-key-file=" + c.certificate("service-account.key"),
		"--root-ca-file=" + c.certificate("ca.crt"),
		"--leader-elect=false",
		"--secure-port=0", // it serves only metrics
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
		"--concurrent-job-syncs=20",
	}
}

func (c controlPlane) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + c.kubeconfig("scheduler"),
		"--leader-elect=false",
		"--secure-port=0", // it serves only metrics
		"--kube-api-qps=1000",
		"--kube-api-burst=1000",
	}
}

// writeKubeconfigs writes the kubeconfigs of the components named.
func (c controlPlane) writeKubeconfigs(components ...string) error {
	for _, component := range components {
		if err := writeKubeconfig(c.kubeconfig(component), component, c.server(), c.pki, component); err != nil {
			return err
		}
	}
	return nil
}

// get reads from the API server or the kubelet; any answer but a success is an
// error.
func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return send(client, request)
}

// statusError is an answer that reports a failure.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

func send(client *http.Client, request *http.Request) ([]byte, error) {
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		return nil, &statusError{answer.StatusCode, fmt.Sprintf("%s %s: %s: %s", request.Method, request.URL, answer.Status, body)}
	}
	return body, nil
}
