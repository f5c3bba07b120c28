package testenv

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// TestANewCRDIsWaitedFor checks what a CRD looks like from its creation on: under load the
// API server shows it before it has written a condition.
func TestANewCRDIsWaitedFor(t *testing.T) {
	t.Parallel()
	const spec = `{group: example.net, names: {kind: Thing}, versions: [{name: v1}]}`
	for status, want := range map[string]string{
		`{}`:                 "",
		`{conditions: null}`: "",
		`{conditions: [{type: Established, status: "False"}]}`: "",
		`{conditions: [{type: Established, status: "True"}]}`:  "example.net/v1, Kind=Thing",
	} {
		crd := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte("{spec: "+spec+", status: "+status+"}"), &crd.Object); err != nil {
			t.Fatal(err)
		}
		kind, err := establishedKind(crd)
		if err != nil || kind.Empty() != (want == "") || want != "" && kind.String() != want {
			t.Errorf("%s: %v, %v", status, kind, err)
		}
	}
}
