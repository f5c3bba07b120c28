package v1alpha1_test

import (
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

func TestSameJSON(t *testing.T) {
	t.Parallel()
	value := func(text string) *apiextensionsv1.JSON {
		if text == "" {
			return nil
		}
		return &apiextensionsv1.JSON{Raw: []byte(text)}
	}
	for _, c := range []struct {
		name, a, b string
		want       bool
	}{
		{"nothing", "", "", true},
		{"nothing and null", "", "null", false},
		{"nothing and an empty object", "", "{}", false},
		{"another order and other spaces", `{"a":1,"b":[true,null]}`, `{ "b": [true, null], "a": 1 }`, true},
		{"another order of a list", `[1,2]`, `[2,1]`, false},
		{"a number written in another way", `{"a":1.0,"b":1e3}`, `{"a":1,"b":1000}`, true},
		{"an escaped character", `"<\u00e9>"`, `"<é>"`, true},
		{"a text and a number", `"1"`, `1`, false},
		{"whole numbers beyond 2^53", `{"id":9007199254740993}`, `{"id":9007199254740992}`, false},
		{"the same whole number beyond 2^53", `{"id":9007199254740993}`, `{"id":9007199254740993}`, true},
		{"no JSON", `{`, `{`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, got := range []bool{v1alpha1.SameJSON(value(c.a), value(c.b)), v1alpha1.SameJSON(value(c.b), value(c.a))} {
				if got != c.want {
					t.Errorf("%s and %s are the same: %t", c.a, c.b, got)
				}
			}
		})
	}
}
