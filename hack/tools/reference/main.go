// Command reference prints docs/reference.md: the fields of the objects in their CRDs, with
// types, defaults, bounds and the messages of their rules. It runs in the repository's folder.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const crds = "config/crd/bases"

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out io.Writer) error {
	page := &strings.Builder{}
	page.WriteString(head)
	for _, plural := range []string{"workspaces", "workspacejobs", "workspacerecurringjobs"} {
		text, err := os.ReadFile(filepath.Join(crds, "jobs.openradius.io_"+plural+".yaml"))
		if err != nil {
			return err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return fmt.Errorf("%s: %w", plural, err)
		}
		for _, version := range crd.Spec.Versions {
			writeKind(page, crd, version)
		}
	}
	_, err := io.WriteString(out, page.String())
	return err
}

const head = `# API reference

<!-- hack/tools/reference generates this page from config/crd/bases: run make generate, don't edit it. -->

All fields of the objects. [workspace.md](workspace.md), [workspacejob.md](workspacejob.md) and
[workspacerecurringjob.md](workspacerecurringjob.md) explain how to use them, with examples.
` + "`kubectl explain workspacejob.spec` shows the same for the version in your cluster." + `

Fields are optional unless they say otherwise. Durations are Go durations (` + "`90s`, `1h30m`" + `) of at most
ten years; times are RFC 3339. The API server refuses an object that breaks a rule, with the
message shown here in *italics*.
`

// writeKind writes one kind's section.
func writeKind(page *strings.Builder, crd *apiextensionsv1.CustomResourceDefinition, version apiextensionsv1.CustomResourceDefinitionVersion) {
	schema := version.Schema.OpenAPIV3Schema
	fmt.Fprintf(page, "\n## %s\n\n%s\n\n", crd.Spec.Names.Kind, paragraphs(schema.Description, "\n\n"))
	fmt.Fprintf(page, "`apiVersion: %s/%s`, %s; short name: `%s`.", crd.Spec.Group, version.Name,
		map[apiextensionsv1.ResourceScope]string{apiextensionsv1.ClusterScoped: "cluster-scoped", apiextensionsv1.NamespaceScoped: "namespaced"}[crd.Spec.Scope],
		strings.Join(crd.Spec.Names.ShortNames, "`, `"))
	if len(version.SelectableFields) > 0 {
		var paths []string
		for _, field := range version.SelectableFields {
			paths = append(paths, "`"+strings.TrimPrefix(field.JSONPath, ".")+"`")
		}
		fmt.Fprintf(page, " Field selectors: %s.", strings.Join(paths, ", "))
	}
	page.WriteString("\n")
	if rules := messages(*schema); rules != "" {
		page.WriteString("\n" + rules + "\n")
	}
	for _, part := range []string{"spec", "status"} {
		fmt.Fprintf(page, "\n### %s: %s\n\n%s\n\n| field | type | |\n| --- | --- | --- |\n",
			crd.Spec.Names.Kind, part, joined(paragraphs(schema.Properties[part].Description, "\n\n"), messages(schema.Properties[part]), "\n\n"))
		writeFields(page, "", schema.Properties[part])
	}
}

// known maps fields to types of Kubernetes, which its documentation describes.
var known = map[string]string{
	"egress":     "list of [NetworkPolicyEgressRule](https://kubernetes.io/docs/concepts/services-networking/network-policies/)",
	"conditions": "list of [Condition](https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/condition/)",
}

// writeFields writes a row for each field of an object, followed by those of its own fields.
func writeFields(page *strings.Builder, prefix string, object apiextensionsv1.JSONSchemaProps) {
	var names []string
	for name := range object.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		field := object.Properties[name]
		kind, isKnown := known[name]
		if !isKnown {
			kind = typeOf(field)
		}
		if slices.Contains(object.Required, name) {
			kind += "; required"
		}
		text := joined(paragraphs(field.Description, "<br>"), messages(field), "<br>")
		fmt.Fprintf(page, "| `%s%s` | %s | %s |\n", prefix, name, cell(kind), cell(text))
		switch {
		case isKnown:
		case field.Items != nil:
			writeFields(page, prefix+name+"[].", *field.Items.Schema)
		default:
			writeFields(page, prefix+name+".", field)
		}
	}
}

// typeOf returns a field's type, with its bounds and its default.
func typeOf(field apiextensionsv1.JSONSchemaProps) string {
	kind := field.Type
	switch {
	case field.XIntOrString:
		kind, field.Pattern = "quantity", ""
	case field.Type == "array":
		kind = "list of " + plural(typeOf(*field.Items.Schema))
	case field.Type == "object" && field.AdditionalProperties != nil:
		kind = "map to " + typeOf(*field.AdditionalProperties.Schema)
	case field.Format == "date-time":
		kind, field.Pattern = "time", "" // stated once, at the top
	case isDuration(field):
		kind, field.MaxLength = "duration", nil
	case kind == "":
		kind = "any JSON"
	}
	words := []string{kind}
	if len(field.Enum) > 0 {
		var values []string
		for _, value := range field.Enum {
			values = append(values, "`"+strings.Trim(string(value.Raw), `"`)+"`")
		}
		words = []string{"one of " + strings.Join(values, ", ")}
	}
	words = append(words, bounds(field.Minimum, field.Maximum, ""), bounds(field.MinLength, field.MaxLength, " characters"),
		bounds(field.MinItems, field.MaxItems, " items"), bounds(field.MinProperties, field.MaxProperties, " entries"))
	if field.Pattern != "" {
		words = append(words, "matches `"+field.Pattern+"`")
	}
	if field.Default != nil && string(field.Default.Raw) != `""` {
		words = append(words, "default `"+strings.Trim(string(field.Default.Raw), `"`)+"`")
	}
	return strings.Join(slices.DeleteFunc(words, func(word string) bool { return word == "" }), ", ")
}

// isDuration reports whether the field is a v1alpha1.Duration. Its schema is a string with
// that type's rule.
func isDuration(field apiextensionsv1.JSONSchemaProps) bool {
	return slices.ContainsFunc(field.XValidations, ofDuration)
}

// ofDuration reports whether the rule is the one that every duration has.
func ofDuration(rule apiextensionsv1.ValidationRule) bool {
	return strings.HasPrefix(rule.Message, "must be a duration")
}

func plural(kind string) string {
	if first, rest, _ := strings.Cut(kind, ","); first == "string" || first == "object" {
		return strings.TrimSuffix(first+"s,"+rest, ",")
	}
	return kind
}

func bounds[N int64 | float64](low, high *N, unit string) string {
	switch {
	case low != nil && high != nil:
		return fmt.Sprintf("%v to %v%s", *low, *high, unit)
	case low != nil && *low != 0:
		return fmt.Sprintf("at least %v%s", *low, unit)
	case high != nil:
		return fmt.Sprintf("at most %v%s", *high, unit)
	default:
		return ""
	}
}

// messages returns the messages of the rules on a field, on the items of a list and the values of a
// map.
func messages(field apiextensionsv1.JSONSchemaProps) string {
	var all []string
	for _, rule := range field.XValidations {
		if !ofDuration(rule) { // stated once, at the top
			all = append(all, "*"+escaped(rule.Message)+"*")
		}
	}
	if field.Items != nil {
		all = append(all, messages(*field.Items.Schema))
	}
	if field.AdditionalProperties != nil {
		all = append(all, messages(*field.AdditionalProperties.Schema))
	}
	all = slices.DeleteFunc(all, func(message string) bool { return message == "" })
	return strings.Join(all, "<br>")
}

// paragraphs joins the lines of each paragraph, but keeps a list's items apart.
func paragraphs(text, between string) string {
	text = strings.ReplaceAll(escaped(text), "\n\n", "\x00")
	text = strings.ReplaceAll(text, "\n- ", "\x00- ")
	text = strings.ReplaceAll(text, "\n", " ")
	return strings.ReplaceAll(text, "\x00", between)
}

func joined(a, b, between string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + between + b
}

// escaped returns a text in which Markdown sees no element and no emphasis.
func escaped(text string) string {
	return strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(text)
}

// cell returns a text for a cell of a table, which a bar would end.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }
