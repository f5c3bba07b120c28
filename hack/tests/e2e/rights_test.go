package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// right is a right that the operator has or has used, in all namespaces or in one.
type right struct{ namespace, group, resource, verb string }

func (r right) String() string {
	where := "the ClusterRole"
	if r.namespace != "" {
		where = "the Role in " + r.namespace
	}
	return fmt.Sprintf("%s %s.%s, of %s", r.verb, r.resource, r.group, where)
}

// unseen are rights that the operator needs but that no successful request shows.
func unseen(r right) bool {
	switch {
	case r.verb == "bind" && r.resource == "clusterroles", r.verb == "update" && strings.HasSuffix(r.resource, "/finalizers"):
		// The API server checks them when it accepts a RoleBinding, or an object with an
		// owner.
		return true
	case r.verb == "list":
		// If the API server can stream lists, clients only watch. Otherwise, or if it is too
		// busy, they list.
		return true
	case r.verb == "patch" && r.resource == "events":
		// An event is patched only if two of one reason follow from one status write, such as
		// two skipped runs at once, and whether that happens in a test is luck.
		return true
	case r.verb == "delete" && r.resource == "resourcequotas":
		// A quota is created again only if Kubernetes saw it before it had discovered the
		// CRDs, and whether it did is luck.
		return true
	default:
		return false
	}
}

// checkOperatorRights checks that the operator has used each right that it has, and that
// nothing was refused to it.
func (s *suite) checkOperatorRights(ctx context.Context) error {
	granted, err := s.grantedRights(ctx)
	if err != nil {
		return err
	}
	used, err := s.usedRights(ctx)
	if err != nil {
		return err
	}
	for _, r := range granted {
		if !used[r] && !unseen(r) {
			err = errors.Join(err, fmt.Errorf("the operator has a right that no test used: %s", r))
		}
	}
	return err
}

func (s *suite) grantedRights(ctx context.Context) ([]right, error) {
	var granted []right
	role, local := &rbacv1.ClusterRole{}, &rbacv1.Role{}
	if err := errors.Join(
		s.client.Get(ctx, client.ObjectKey{Name: operatorName}, role),
		s.client.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: operatorName}, local),
	); err != nil {
		return nil, err
	}
	for namespace, rules := range map[string][]rbacv1.PolicyRule{"": role.Rules, operatorNamespace: local.Rules} {
		for _, rule := range rules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						granted = append(granted, right{namespace, group, resource, verb})
					}
				}
			}
		}
	}
	slices.SortFunc(granted, func(a, b right) int { return strings.Compare(a.String(), b.String()) })
	return granted, nil
}

// auditEvent is the part of a line in the API server's audit log that is read:
// https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
type auditEvent struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	ObjectRef struct {
		Namespace   string `json:"namespace"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		APIGroup    string `json:"apiGroup"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

func (s *suite) usedRights(ctx context.Context) (map[right]bool, error) {
	path, err := s.command(ctx, s.tool, "audit-log", "--name", clusterName)
	if err != nil {
		return nil, err
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	used := map[right]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		// A request for an object that does not exist was allowed.
		if event.User.Username == operatorUser && event.ResponseStatus.Code != http.StatusForbidden {
			event.count(used)
		}
	}
	return used, lines.Err()
}

// count counts the rights that a request needs. A patch that creates its object also needs
// the right to create it.
func (e auditEvent) count(used map[right]bool) {
	r := right{group: e.ObjectRef.APIGroup, resource: e.ObjectRef.Resource, verb: e.Verb}
	if e.ObjectRef.Subresource != "" {
		r.resource += "/" + e.ObjectRef.Subresource
	}
	for _, namespace := range []string{"", operatorNamespace} {
		if namespace != "" && e.ObjectRef.Namespace != namespace {
			continue
		}
		r.namespace = namespace
		used[r] = true
		if e.Verb == "patch" && e.ResponseStatus.Code == http.StatusCreated {
			created := r
			created.verb = "create"
			used[created] = true
		}
	}
}
