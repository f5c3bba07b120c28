package cached

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// maxArgs is the largest size, in bytes of JSON, of arguments that are cached as they are. It
// lets most jobs start without another request.
const maxArgs = 256

// digest stands for larger arguments in the cache: their size and their hash, as a
// JSON string. Arguments are an object, so no tenant's can be mistaken for a digest.
const digest = "%d bytes, sha256 %x"

// Args returns what the cache holds of args: args, or their digest if they are large. Two
// digests are equal if the arguments are the same JSON. Given a digest, Args returns it
// unchanged.
func Args(args *apiextensionsv1.JSON) *apiextensionsv1.JSON {
	if args == nil {
		return nil
	}
	// The same arguments may be written in several ways, and each must have the same form
	// here. Text that is not JSON can't come from the API server.
	stored, err := v1alpha1.StoredJSON(args.Raw)
	if err != nil || len(stored) <= maxArgs {
		return args
	}
	text, err := json.Marshal(fmt.Sprintf(digest, len(stored), sha256.Sum256(stored)))
	if err != nil {
		return args
	}
	return &apiextensionsv1.JSON{Raw: text}
}

// Whole reports whether args, from the cache, are the arguments and not their digest.
func Whole(args *apiextensionsv1.JSON) bool {
	return args == nil || !bytes.HasPrefix(args.Raw, []byte(`"`))
}

// Size returns the size of args, from the cache or not, in bytes of JSON.
func Size(args *apiextensionsv1.JSON) int {
	switch {
	case args == nil:
		return 0
	case Whole(args):
		return len(args.Raw)
	}
	// A digest begins with the size.
	var size int
	_, _ = fmt.Sscanf(string(args.Raw), `"%d`, &size)
	return size
}

// trimTemplate trims the arguments of a template.
func trimTemplate(template *v1alpha1.JobTemplate) {
	if template != nil {
		template.Args = Args(template.Args)
	}
}
