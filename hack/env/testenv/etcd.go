package testenv

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// Compact removes all earlier revisions from etcd, as an API server does every few minutes.
// A paged list that began before can't be continued.
func (e *Env) Compact(ctx context.Context) error {
	var namespaces corev1.NamespaceList
	if err := e.Client.List(ctx, &namespaces); err != nil {
		return err
	}
	now := namespaces.ResourceVersion
	// API servers watch this key, and then compact their own caches as well.
	key := base64.StdEncoding.EncodeToString([]byte("compact_rev_key"))
	value := base64.StdEncoding.EncodeToString([]byte(now))
	return errors.Join(
		e.askEtcd(ctx, "put", fmt.Sprintf(`{"key": %q, "value": %q}`, key, value)),
		e.askEtcd(ctx, "compaction", fmt.Sprintf(`{"revision": %q}`, now)),
	)
}

// askEtcd calls etcd's JSON API, https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
func (e *Env) askEtcd(ctx context.Context, verb, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.etcd+"/v3/kv/"+verb, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("etcd, %s: %s: %s", verb, answer.Status, text)
	}
	return err
}
