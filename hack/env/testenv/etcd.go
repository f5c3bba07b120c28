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

// Compact has etcd forget all that was before now, as an API server has it do every few
// minutes: a page of a list that began before can't be gone on with.
func (e *Env) Compact(ctx context.Context) error {
	var namespaces corev1.NamespaceList
	if err := e.Client.List(ctx, &namespaces); err != nil {
		return err
	}
	now := namespaces.ResourceVersion
	// API servers tell each other by this key, and then forget what they have themselves.
	key := base64.StdEncoding.EncodeToString([]byte("compact_rev_key"))
	value := base64.StdEncoding.EncodeToString([]byte(now))
	return errors.Join(
		e.askEtcd(ctx, "put", fmt.Sprintf(`{"key": %q, "value": %q}`, key, value)),
		e.askEtcd(ctx, "compaction", fmt.Sprintf(`{"revision": %q}`, now)),
	)
}

// askEtcd by its API as JSON, https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/
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
