package roles

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rights are the actions that are allowed.
type rights map[action]bool

func (r rights) without(others rights) rights {
	rest := rights{}
	for a := range r {
		if !others[a] {
			rest[a] = true
		}
	}
	return rest
}

func (r rights) String() string {
	var all []string
	for a := range r {
		all = append(all, a.String())
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// findings are the questions and the API server's answers.
type findings struct {
	questions
	// rights by identity and namespace.
	rights map[string]map[string]rights
}

// of returns the identity's rights in a namespace.
func (f *findings) of(who identity, namespace string) rights { return f.rights[who.name][namespace] }

// beyond returns the identity's rights in a namespace that not everybody has.
func (f *findings) beyond(who identity, namespace string) rights {
	return f.of(who, namespace).without(f.of(stranger, namespace))
}

// places are the namespaces in which questions are asked.
var (
	elsewhere = []string{other, "workspace-jobs-system", "kube-system", clusterWide}
	places    = append([]string{own}, elsewhere...)
)

// asking is the number of questions that are asked concurrently.
const asking = 8

var found struct {
	once     sync.Once
	findings *findings
}

// find asks the API server all questions, once for all tests together.
func find(t *testing.T) *findings {
	t.Helper()
	env := tenant.get(t)
	found.once.Do(func() {
		f := &findings{questions: *discover(t, env), rights: map[string]map[string]rights{}}
		var lock sync.Mutex
		group, ctx := errgroup.WithContext(t.Context())
		group.SetLimit(asking)
		for _, who := range identities {
			f.rights[who.name] = map[string]rights{}
			for _, namespace := range places {
				allowed := rights{}
				f.rights[who.name][namespace] = allowed
				if who.name == clusterAdmin.name && namespace != own && namespace != clusterWide {
					continue // every question is asked in these two, too
				}
				for _, a := range f.ask(namespace) {
					group.Go(func() error {
						yes, err := review(ctx, env.Client, who, namespace, a)
						if yes {
							lock.Lock()
							defer lock.Unlock()
							allowed[a] = true
						}
						return err
					})
				}
			}
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		found.findings = f
	})
	if found.findings == nil {
		t.Fatal("there are no answers: see the failure of another test")
	}
	return found.findings
}

// review asks the API server whether an identity may do something.
func review(ctx context.Context, c client.Client, who identity, namespace string, a action) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: who.user, Groups: who.groups}}
	if a.path != "" {
		review.Spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Verb: a.verb, Path: a.path}
	} else {
		name, sub, _ := strings.Cut(a.resource, "/")
		review.Spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: a.verb, Group: a.group, Version: "*", Resource: name, Subresource: sub,
		}
	}
	err := c.Create(ctx, review)
	if err == nil && review.Status.EvaluationError != "" {
		err = fmt.Errorf("the API server can't answer: %s", review.Status.EvaluationError)
	}
	if err != nil {
		return false, fmt.Errorf("may %s in %q %s: %w", who.name, namespace, a, err)
	}
	return review.Status.Allowed, nil
}

// TestRulesSayNoMore compares the answers with the rules that apply to an identity in a
// namespace, which the API server can list, too. This finds rights for which there is no
// question, rights to objects of certain names only, and rights in other namespaces.
func TestRulesSayNoMore(t *testing.T) {
	t.Parallel()
	f := find(t)
	clients := map[string]client.Client{}
	for _, who := range identities {
		c, err := client.New(as(tenant.get(t), who), client.Options{Scheme: tenant.get(t).Scheme})
		if err != nil {
			t.Fatal(err)
		}
		clients[who.name] = c
	}
	for _, namespace := range namespaces(t) {
		everybodys := rulesOf(t, clients[stranger.name], namespace)
		for _, who := range slices.Concat(members, []identity{runner}) {
			for text, rule := range rulesOf(t, clients[who.name], namespace) {
				if everybodys[text] != nil || who.name == runner.name && slices.Contains(accountRules, text) {
					continue
				}
				if err := f.covers(who, namespace, rule); err != nil {
					t.Errorf("%s in %q has the rule %s: %v", who.name, namespace, text, err)
				}
			}
		}
	}
}

// namespaces returns all namespaces of the cluster.
func namespaces(t *testing.T) []string {
	t.Helper()
	var list corev1.NamespaceList
	if err := tenant.get(t).Client.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for i := range list.Items {
		all = append(all, list.Items[i].Name)
	}
	for _, place := range places {
		if place != clusterWide && !slices.Contains(all, place) {
			t.Fatalf("the namespace %q does not exist", place)
		}
	}
	return all
}

// covers returns an error unless there is a question for everything that a rule allows, and
// its answer is yes.
func (f *findings) covers(who identity, namespace string, rule *authorizationv1.ResourceRule) error {
	if namespace != own {
		return fmt.Errorf("that is not their own namespace")
	}
	if len(rule.ResourceNames) > 0 {
		return fmt.Errorf("it is for certain objects, but questions are for all objects of a kind")
	}
	for _, verb := range rule.Verbs {
		for _, group := range rule.APIGroups {
			for _, name := range rule.Resources {
				a := action{verb: verb, group: group, resource: name}
				if !f.of(who, namespace)[a] {
					return fmt.Errorf("there is no question for %s, or its answer was no", a)
				}
			}
		}
	}
	return nil
}

// accountRules are the rules that allow accountsRead.
var accountRules = []string{
	`{"verbs":["get"],"nonResourceURLs":["/.well-known/openid-configuration","/.well-known/openid-configuration/","/openid/v1/jwks","/openid/v1/jwks/"]}`,
	`{"verbs":["get","list","watch"],"apiGroups":["certificates.k8s.io"],"resources":["clustertrustbundles"]}`,
}

// rulesOf returns the rules that apply to the client's user, by their text. Rules for URLs
// are marked so that no question covers them.
func rulesOf(t *testing.T, c client.Client, namespace string) map[string]*authorizationv1.ResourceRule {
	t.Helper()
	review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
	if err := c.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	// The list has RBAC's rules. The node authorizer can't list its own, and says so.
	if text := review.Status.EvaluationError; text != "" && text != "node authorizer does not support user rule resolution" {
		t.Fatalf("the rules in %q: %s", namespace, text)
	}
	rules := map[string]*authorizationv1.ResourceRule{}
	for i := range review.Status.ResourceRules {
		rules[text(t, review.Status.ResourceRules[i])] = &review.Status.ResourceRules[i]
	}
	for _, rule := range review.Status.NonResourceRules {
		rules[text(t, rule)] = &authorizationv1.ResourceRule{ResourceNames: []string{"a URL"}}
	}
	if len(rules) == 0 {
		t.Fatalf("no rules apply in %q, not even those for everybody", namespace)
	}
	return rules
}

func text(t *testing.T, rule any) string {
	t.Helper()
	text, err := json.Marshal(rule)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
