package policies

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// seen are the refusals that the tests expected and got: the policy's name and the message.
var seen struct {
	sync.Mutex
	refusals []refusal
}

type refusal struct{ policy, message string }

func remember(policy string, err error) {
	seen.Lock()
	defer seen.Unlock()
	seen.refusals = append(seen.refusals, refusal{policy, err.Error()})
}

// checkSharpness fails unless each validation of each policy has refused something that a test
// expected it to refuse: a validation that were always true would turn that test red.
func checkSharpness(code int) int {
	if code != 0 || testing.Short() || flag.Lookup("test.run").Value.String() != "" {
		return code
	}
	policies, err := readPolicies("../../../../config/policies/*.yaml")
	if err != nil || len(policies) == 0 {
		fmt.Println("the policies can't be read:", err)
		return 1
	}
	for _, policy := range policies {
		for i, validation := range policy.Spec.Validations {
			if count := refusedBy(policy.Name, textOf(validation)); count == 0 {
				fmt.Printf("no test needs validation %d of %s: %s\n", i, policy.Name, validation.Expression)
				code = 1
			}
		}
	}
	return code
}

func refusedBy(policy, text string) int {
	count := 0
	for _, r := range seen.refusals {
		if r.policy == policy && strings.Contains(r.message, text) {
			count++
		}
	}
	return count
}

var literal = regexp.MustCompile(`'((?:[^'\\]|\\.)*)'`)

// textOf returns a text that is in the validation's message: all of it, or the longest
// literal of its expression.
func textOf(v admissionv1.Validation) string {
	longest := v.Message
	for _, found := range literal.FindAllStringSubmatch(v.MessageExpression, -1) {
		if text := strings.ReplaceAll(found[1], `\'`, "'"); len(text) > len(longest) {
			longest = text
		}
	}
	return longest
}

func readPolicies(pattern string) ([]admissionv1.ValidatingAdmissionPolicy, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var policies []admissionv1.ValidatingAdmissionPolicy
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			policy := admissionv1.ValidatingAdmissionPolicy{}
			if err == nil {
				err = yaml.Unmarshal(document, &policy)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if policy.Kind == "ValidatingAdmissionPolicy" {
				policies = append(policies, policy)
			}
		}
	}
	return policies, nil
}
