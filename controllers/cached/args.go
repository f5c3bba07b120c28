package cached

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// maxArgs is how many bytes of JSON arguments may have to be cached as they are. Most jobs
// are started without another request then.
const maxArgs = 256

// digest stands for arguments in the cache. Two digests are equal if the arguments are the
// same JSON.
type digest struct {
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Args returns what the cache holds of args: args, or their digest if they are large.
// Of a digest it returns the digest itself.
func Args(args *apiextensionsv1.JSON) *apiextensionsv1.JSON {
	if args == nil {
		return nil
	}
	// The same arguments may be written in several ways, and each must have the same form
	// here. What is no JSON can't come from the API server.
	stored, err := v1alpha1.StoredJSON(args.Raw)
	if err != nil || len(stored) <= maxArgs {
		return args
	}
	sum := sha256.Sum256(stored)
	text, err := json.Marshal(digest{Bytes: len(stored), SHA256: hex.EncodeToString(sum[:])})
	if err != nil {
		return args
	}
	return &apiextensionsv1.JSON{Raw: text}
}

// Whole reports whether args, from the cache, are the arguments and not their digest. It may
// take arguments that look like a digest for one. Then the API server is asked in vain.
func Whole(args *apiextensionsv1.JSON) bool { return digestOf(args) == nil }

// Size returns the size of args, from the cache or not, in bytes of JSON.
func Size(args *apiextensionsv1.JSON) int {
	if d := digestOf(args); d != nil {
		return d.Bytes
	}
	if args == nil {
		return 0
	}
	return len(args.Raw)
}

func digestOf(args *apiextensionsv1.JSON) *digest {
	if args == nil || len(args.Raw) > maxArgs {
		return nil
	}
	d := &digest{}
	if err := json.Unmarshal(args.Raw, d); err != nil || d.Bytes <= maxArgs || len(d.SHA256) != hex.EncodedLen(sha256.Size) {
		return nil
	}
	return d
}

// trimTemplate trims the arguments of a template.
func trimTemplate(template *v1alpha1.JobTemplate) {
	if template != nil {
		template.Args = Args(template.Args)
	}
}
