package rest

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// Resources are those of each attempt.
type Resources struct {
	Requests *Quantities `json:"requests,omitempty" doc:"What an attempt is guaranteed to get"`
	Limits   *Quantities `json:"limits,omitempty" doc:"What an attempt must not exceed; no request may be larger"`
}

// Quantities are Kubernetes quantities of the resources that can be set.
type Quantities struct {
	CPU              string `json:"cpu,omitempty" maxLength:"20" pattern:"^[0-9.]+[A-DF-Za-df-z]*$" patternDescription:"a quantity such as 500m or 2, without a sign or an exponent" example:"500m"`
	Memory           string `json:"memory,omitempty" maxLength:"20" pattern:"^[0-9.]+[A-DF-Za-df-z]*$" patternDescription:"a quantity such as 256Mi, without a sign or an exponent" example:"256Mi"`
	EphemeralStorage string `json:"ephemeral-storage,omitempty" maxLength:"20" pattern:"^[0-9.]+[A-DF-Za-df-z]*$" patternDescription:"a quantity such as 1Gi, without a sign or an exponent" example:"1Gi"`
}

// texts returns the quantities by the names of their resources; "": none.
func (q *Quantities) texts() map[corev1.ResourceName]*string {
	return map[corev1.ResourceName]*string{
		corev1.ResourceCPU: &q.CPU, corev1.ResourceMemory: &q.Memory, corev1.ResourceEphemeralStorage: &q.EphemeralStorage,
	}
}

// resources returns nil, which stands for the workspace's, if nothing is set.
func (r *reader) resources(in *Resources) *v1alpha1.Resources {
	if in == nil {
		return nil
	}
	resources := &v1alpha1.Resources{Requests: r.quantities("resources.requests", in.Requests), Limits: r.quantities("resources.limits", in.Limits)}
	if len(resources.Requests)+len(resources.Limits) == 0 {
		return nil
	}
	return resources
}

func (r *reader) quantities(field string, in *Quantities) corev1.ResourceList {
	if in == nil {
		return nil
	}
	var list corev1.ResourceList
	for name, text := range in.texts() {
		if *text == "" {
			continue
		}
		quantity, err := resource.ParseQuantity(*text)
		if err != nil {
			r.fault("body."+field+"."+string(name), "it must be a quantity such as 500m or 256Mi, without a sign or an exponent")
		}
		if list == nil {
			list = corev1.ResourceList{}
		}
		list[name] = quantity
	}
	return list
}

func viewOfResources(resources *v1alpha1.Resources) *Resources {
	if resources == nil {
		return nil
	}
	return &Resources{Requests: viewOfQuantities(resources.Requests), Limits: viewOfQuantities(resources.Limits)}
}

func viewOfQuantities(list corev1.ResourceList) *Quantities {
	if len(list) == 0 {
		return nil
	}
	view := &Quantities{}
	for name, text := range view.texts() {
		if quantity, set := list[name]; set {
			*text = quantity.String()
		}
	}
	return view
}
