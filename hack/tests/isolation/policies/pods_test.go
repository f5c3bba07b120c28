package policies

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/openradius/workspace-jobs/api/v1alpha1"
)

// theft is a Job with which a stolen token of the operator would get at a Secret or out of
// the fence.
type theft struct {
	what, words string
	change      func(*jobParts)
}

func fromSecret(name, key string) *corev1.EnvVarSource {
	return &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: name}, Key: key}}
}

// setEnv replaces a variable of the runner, or adds it.
func (j *jobParts) setEnv(env corev1.EnvVar) {
	for i := range j.runner.Env {
		if j.runner.Env[i].Name == env.Name {
			j.runner.Env[i] = env
			return
		}
	}
	j.runner.Env = append(j.runner.Env, env)
}

func probe() *corev1.Probe {
	return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Host: "169.254.169.254", Port: intstr.FromInt32(80)}}}
}

func variables() []theft {
	const words = "only the variables of the runner contract"
	env := func(what string, envs ...corev1.EnvVar) theft {
		return theft{what, words, func(j *jobParts) {
			for _, each := range envs {
				j.setEnv(each)
			}
		}}
	}
	twice := theft{"a variable twice", words, func(j *jobParts) {
		j.runner.Env = append(j.runner.Env, corev1.EnvVar{Name: "JOB_HANDLER", Value: "report"})
	}}
	return []theft{
		twice,
		env("the database's URL as its handler", corev1.EnvVar{Name: "JOB_HANDLER", ValueFrom: fromSecret("database", "url")}),
		env("another Secret as its arguments", corev1.EnvVar{Name: "JOB_ARGS", ValueFrom: fromSecret("crm", "token")}),
		env("another Secret as its database", corev1.EnvVar{Name: "DATABASE_URL", ValueFrom: fromSecret("crm", "token")}),
		env("another key of the database's Secret", corev1.EnvVar{Name: "DATABASE_URL", ValueFrom: fromSecret("database", "admin")}),
		env("a database of its own", corev1.EnvVar{Name: "DATABASE_URL", Value: "postgres://mallory@example.net/"}),
		env("the URL in its arguments", corev1.EnvVar{Name: "JOB_ARGS", Value: `{"url":"https://example.net/$(DATABASE_URL)"}`}),
		env("the URL behind a dollar sign", corev1.EnvVar{Name: "JOB_ARGS", Value: `{"url":"$$$(DATABASE_URL)"}`}),
		env("the URL as its handler's name", corev1.EnvVar{Name: "JOB_HANDLER", Value: "$(DATABASE_URL)"}),
		env("a superuser", corev1.EnvVar{Name: "DATABASE_ALLOW_SUPERUSER", Value: "true"}),
		env("another schema", corev1.EnvVar{Name: "LEDGER_SCHEMA", Value: "other"}),
		env("another workspace", corev1.EnvVar{Name: "JOB_WORKSPACE", Value: "globex"}),
		env("another queue", corev1.EnvVar{Name: "JOB_QUEUE", Value: "workspace_globex"}),
		env("another place for its message", corev1.EnvVar{Name: "JOB_MESSAGE_PATH", Value: "/tmp/message"}),
		env("a loader's variable", corev1.EnvVar{Name: "LD_PRELOAD", Value: "/tmp/evil.so"}),
		env("a ConfigMap's value", corev1.EnvVar{Name: "JOB_ARGS", ValueFrom: &corev1.EnvVarSource{
			ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "any"}, Key: "any"},
		}}),
		env("another field of its pod", corev1.EnvVar{Name: "JOB_NAME", ValueFrom: &corev1.EnvVarSource{
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"},
		}}),
		{"a Secret's keys as variables", "without envFrom", func(j *jobParts) {
			j.runner.EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "database"}}}}
		}},
	}
}

func containerFields() []theft {
	field := func(name string, change func(*corev1.Container)) theft {
		return theft{name, "container must be like the one in the PodTemplate workspace-jobs-runner, without " + name, func(j *jobParts) { change(j.runner) }}
	}
	hook := &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"/runner", "handlers"}}}}
	return []theft{
		field("livenessProbe", func(c *corev1.Container) { c.LivenessProbe = probe() }),
		field("readinessProbe", func(c *corev1.Container) { c.ReadinessProbe = probe() }),
		field("startupProbe", func(c *corev1.Container) { c.StartupProbe = probe() }),
		field("lifecycle", func(c *corev1.Container) { c.Lifecycle = hook }),
		field("workingDir", func(c *corev1.Container) { c.WorkingDir = "/tmp" }),
		field("ports", func(c *corev1.Container) { c.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 80}} }),
		field("stdin", func(c *corev1.Container) { c.Stdin = true }),
		field("tty", func(c *corev1.Container) { c.TTY = true }),
		field("name", func(c *corev1.Container) { c.Name = "other" }),
		field("terminationMessagePath", func(c *corev1.Container) { c.TerminationMessagePath = "/var/run/workspace-jobs/secrets/crm/token" }),
		field("terminationMessagePolicy", func(c *corev1.Container) { c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError }),
		field("securityContext", func(c *corev1.Container) { c.SecurityContext.ReadOnlyRootFilesystem = nil }),
		{"no securityContext", "container must be like the one", func(j *jobParts) { j.runner.SecurityContext = nil }},
	}
}

func podFields() []theft {
	field := func(name string, change func(*corev1.PodSpec)) theft {
		return theft{name, "must be like the PodTemplate workspace-jobs-runner, without " + name, func(j *jobParts) { change(j.pod) }}
	}
	return []theft{
		field("hostNetwork", func(p *corev1.PodSpec) { p.HostNetwork = true }),
		field("hostPID", func(p *corev1.PodSpec) { p.HostPID = true }),
		field("hostIPC", func(p *corev1.PodSpec) { p.HostIPC = true }),
		field("shareProcessNamespace", func(p *corev1.PodSpec) { p.ShareProcessNamespace = new(true) }),
		field("hostAliases", func(p *corev1.PodSpec) {
			p.HostAliases = []corev1.HostAlias{{IP: "192.0.2.1", Hostnames: []string{"db.example.net"}}}
		}),
		field("dnsConfig", func(p *corev1.PodSpec) { p.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}} }),
		field("dnsPolicy", func(p *corev1.PodSpec) { p.DNSPolicy = corev1.DNSDefault }),
		field("hostname", func(p *corev1.PodSpec) { p.Hostname = "db" }),
		field("nodeName", func(p *corev1.PodSpec) { p.NodeName = "control-plane" }),
		field("nodeSelector", func(p *corev1.PodSpec) { p.NodeSelector = map[string]string{"of": "mallory"} }),
		field("tolerations", func(p *corev1.PodSpec) { p.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }),
		field("priorityClassName", func(p *corev1.PodSpec) { p.PriorityClassName = "system-node-critical" }),
		field("runtimeClassName", func(p *corev1.PodSpec) { p.RuntimeClassName = new("weak") }),
		field("schedulerName", func(p *corev1.PodSpec) { p.SchedulerName = "mallory" }),
		{"restarts", "must be like the PodTemplate workspace-jobs-runner, without restartPolicy", func(j *jobParts) {
			j.pod.RestartPolicy, j.Spec.PodFailurePolicy = corev1.RestartPolicyOnFailure, nil
		}},
		field("resourceClaims", func(p *corev1.PodSpec) {
			p.ResourceClaims = []corev1.PodResourceClaim{{Name: "gpu", ResourceClaimName: new("gpu")}}
		}),
		field("terminationGracePeriodSeconds", func(p *corev1.PodSpec) { p.TerminationGracePeriodSeconds = new(int64(86400)) }),
		field("securityContext", func(p *corev1.PodSpec) { p.SecurityContext.RunAsNonRoot = nil }),
		{"no securityContext", "must be like the PodTemplate", func(j *jobParts) { j.pod.SecurityContext = nil }},
		{"links to services", "must be like the PodTemplate", func(j *jobParts) { j.pod.EnableServiceLinks = nil }},
		{"another Secret to pull with", "spec.runner.imagePullSecrets", func(j *jobParts) { j.pod.ImagePullSecrets[0].Name = "database" }},
	}
}

func volumes() []theft {
	secret := func(what, words string, change func(*corev1.SecretVolumeSource)) theft {
		return theft{what, words, func(j *jobParts) { change(j.pod.Volumes[1].Secret) }}
	}
	mount := func(what string, change func(*corev1.VolumeMount)) theft {
		return theft{what, "mounted at /tmp and below", func(j *jobParts) { change(&j.runner.VolumeMounts[1]) }}
	}
	return []theft{
		secret("the database's Secret as a volume", "names in spec.runner.secrets", func(s *corev1.SecretVolumeSource) { s.SecretName = "database" }),
		secret("a key of a Secret", "only emptyDir and Secret", func(s *corev1.SecretVolumeSource) { s.Items = []corev1.KeyToPath{{Key: "a", Path: "b"}} }),
		{"a volume in memory", "only emptyDir and Secret", func(j *jobParts) { j.pod.Volumes[0].EmptyDir.Medium = corev1.StorageMediumMemory }},
		mount("a Secret at another path", func(m *corev1.VolumeMount) { m.MountPath = "/etc/ssl" }),
		mount("a part of a volume", func(m *corev1.VolumeMount) { m.SubPath = "token" }),
	}
}

func jobFields() []theft {
	job := func(what string, change func(*batchv1.JobSpec)) theft {
		return theft{what, "must run one pod and not repeat it", func(j *jobParts) { change(&j.Spec) }}
	}
	const metadata = "only labels and annotations of Workspace Jobs"
	return []theft{
		job("many pods", func(s *batchv1.JobSpec) { s.Parallelism, s.Completions = new(int32(7)), nil }),
		job("many completions", func(s *batchv1.JobSpec) { s.Completions = new(int32(7)) }),
		job("retries of its own", func(s *batchv1.JobSpec) { s.BackoffLimit, s.PodFailurePolicy = new(int32(3)), nil }),
		job("another controller", func(s *batchv1.JobSpec) { s.ManagedBy = new("example.net/other") }),
		job("a policy of success", func(s *batchv1.JobSpec) {
			s.CompletionMode, s.Completions = new(batchv1.IndexedCompletion), new(int32(1))
			s.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededCount: new(int32(1))}}}
		}),
		{"another network for its pod", metadata, func(j *jobParts) {
			j.Spec.Template.Annotations["k8s.v1.cni.cncf.io/networks"] = "kube-system/host"
		}},
		{"a label that others read", metadata, func(j *jobParts) { j.Spec.Template.Labels["sidecar.istio.io/inject"] = "true" }},
		{"a finalizer for its pod", metadata, func(j *jobParts) { j.Spec.Template.Finalizers = []string{"example.net/keep"} }},
	}
}

// TestAStolenTokenMakesNoOtherPod checks that a thief of the operator's token can put nothing into a
// pod that the operator doesn't.
func TestAStolenTokenMakesNoOtherPod(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("stolen-token", image)
	create := func(object client.Object) error { return c.operator.Create(c.Context(), object, client.DryRunAll) }
	c.accepted("a runner's Job", create(job(home)))
	for _, thefts := range [][]theft{variables(), containerFields(), podFields(), volumes(), jobFields()} {
		for _, each := range thefts {
			c.refused("a Job with "+each.what, operatorJobs, each.words, create(job(home, each.change)))
			c.refused("a CronJob with "+each.what, operatorJobs, each.words, create(cronJob(home, each.change)))
		}
	}
	kept := job(home, func(j *jobParts) { j.Finalizers = []string{"example.net/keep"} })
	c.refused("a Job that nobody can delete", operatorJobs, "may not add finalizers", create(kept))
	moved := job(home, func(j *jobParts) {
		j.Spec.ManualSelector, j.Spec.Selector = new(true), &metav1.LabelSelector{MatchLabels: j.Spec.Template.Labels}
	})
	c.refused("a Job that takes others' pods", operatorJobs, "must run one pod", create(moved))
}

// TestAJobWaitsThroughAChangeOfItsWorkspace checks that a Job that was created with the
// Secrets that its Workspace named then can still start.
func TestAJobWaitsThroughAChangeOfItsWorkspace(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	home := c.workspace("earlier-secrets", image)
	waiting := stored(home, func(j *jobParts) { j.Spec.Suspend = new(true) })
	if err := c.operator.Create(c.Context(), waiting); err != nil {
		t.Fatal(err)
	}
	c.permit("earlier-secrets", func(ws *v1alpha1.Workspace) {
		ws.Spec.Database.SecretRef.Name, ws.Spec.Runner.Secrets, ws.Spec.Runner.ImagePullSecrets = "database-2", nil, nil
	})
	started := waiting.DeepCopy()
	started.Spec.Suspend = new(false)
	started.Spec.Template.Labels[v1alpha1.LabelJob] = "any"
	c.accepted("to start it", c.operator.Patch(c.Context(), started, client.MergeFrom(waiting)))
	for what, words := range map[string]string{"variables": "only the variables", "volumes": "spec.runner.secrets", "pull": "imagePullSecrets"} {
		another := job(home, func(j *jobParts) {
			if what != "variables" {
				j.setEnv(corev1.EnvVar{Name: "DATABASE_URL", ValueFrom: fromSecret("database-2", "url")})
			}
			if what == "pull" {
				j.pod.Volumes, j.runner.VolumeMounts = nil, nil
			}
		})
		c.refused("another with its "+what, operatorJobs, words, c.operator.Create(c.Context(), another, client.DryRunAll))
	}
}

// TestANamespaceSaysWhatItsWorkspaceAllows checks that the annotations with which the Jobs are
// compared agree with the Workspace, in a namespace of any name, whether it was created for
// the Workspace or adopted.
func TestANamespaceSaysWhatItsWorkspaceAllows(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	ws := tenant("named").Namespace("tenants-named").Obj()
	named := c.workspaceIn(ws)
	c.accepted("a Job in a namespace with a name of its own", c.operator.Create(c.Context(), jobOf(ws), client.DryRunAll))
	plain := c.workspace("says", image)
	for _, namespace := range []string{named, plain} {
		for annotation, forged := range map[string]string{
			v1alpha1.AnnotationRunnerImage:   "registry.example.net/miner:1",
			v1alpha1.AnnotationDatabase:      "crm/token/hangfire/false",
			v1alpha1.AnnotationRunnerSecrets: "crm,erp,database",
			v1alpha1.AnnotationPullSecrets:   "database",
		} {
			text := `{"metadata":{"annotations":{"` + annotation + `":"` + forged + `"}}}`
			for who, writer := range map[string]client.Client{"the operator": c.operator, "an admin": c.admin} {
				err := writer.Patch(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}},
					client.RawPatch(types.MergePatchType, []byte(text)), client.DryRunAll)
				c.refused(who+" writes "+text, runnerImages, annotation, err)
			}
		}
	}
}
