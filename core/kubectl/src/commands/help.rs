//! What `kubectl help` and `--help` say.

/// The overview.
pub(crate) const OVERVIEW: &str = "\
kubectl controls the Kubernetes cluster manager.

 Find more information at: https://kubernetes.io/docs/reference/kubectl/

Basic Commands (Beginner):
  create          Create a resource from a file or from stdin
  expose          Take a replication controller, service, deployment or pod and expose it as a new Kubernetes service
  run             Run a particular image on the cluster
  set             Set specific features on objects

Basic Commands (Intermediate):
  explain         Get documentation for a resource
  get             Display one or many resources
  delete          Delete resources by file names, stdin, resources and names, or by resources and label selector

Deploy Commands:
  rollout         Manage the rollout of a resource
  scale           Set a new size for a deployment, replica set, or replication controller

Cluster Management Commands:
  cluster-info    Display cluster information
  cordon          Mark node as unschedulable
  uncordon        Mark node as schedulable

Troubleshooting and Debugging Commands:
  describe        Show details of a specific resource or group of resources
  logs            Print the logs for a container in a pod

Advanced Commands:
  diff            Diff the live version against a would-be applied version
  apply           Apply a configuration to a resource by file name or stdin
  patch           Update fields of a resource
  replace         Replace a resource by file name or stdin
  wait            Experimental: Wait for a specific condition on one or many resources

Settings Commands:
  label           Update the labels on a resource
  annotate        Update the annotations on a resource

Other Commands:
  api-resources   Print the supported API resources on the server
  api-versions    Print the supported API versions on the server, in the form of \"group/version\"
  version         Print the client and server version information

Usage:
  kubectl [flags] [options]

Use \"kubectl <command> --help\" for more information about a given command.
";

/// The help of one command: what it does, examples, how it is called.
pub(crate) fn text(command: &str) -> Option<&'static str> {
    Some(match command {
        "get" => {
            "Display one or many resources.\n\nExamples:\n  # List all pods in ps output format\n  kubectl get pods\n  \n  # List all pods with more information (such as node name)\n  kubectl get pods -o wide\n  \n  # List a single deployment in YAML\n  kubectl get deployment web -o yaml\n  \n  # Watch pods as they change\n  kubectl get pods -w\n\nUsage:\n  kubectl get [(-o|--output=)json|yaml|name|wide|jsonpath|custom-columns] (TYPE[.VERSION][.GROUP] [NAME | -l label] | TYPE[.VERSION][.GROUP]/NAME ...) [flags] [options]\n"
        }
        "apply" => {
            "Apply a configuration to a resource by file name or stdin. The resource name must be specified. This resource will be created if it doesn't exist yet.\n\nExamples:\n  # Apply the configuration in pod.yaml to a pod\n  kubectl apply -f ./pod.yaml\n  \n  # Let the server merge\n  kubectl apply --server-side -f ./pod.yaml\n\nUsage:\n  kubectl apply (-f FILENAME | -k DIRECTORY) [options]\n"
        }
        "create" => {
            "Create a resource from a file or from stdin.\n\nAvailable Commands:\n  configmap        Create a config map from a local file, directory or literal value\n  cronjob          Create a cron job with the specified name\n  deployment       Create a deployment with the specified name\n  job              Create a job with the specified name\n  namespace        Create a namespace with the specified name\n  secret           Create a secret using a specified subcommand\n  service          Create a service using a specified subcommand\n  serviceaccount   Create a service account with the specified name\n\nUsage:\n  kubectl create -f FILENAME [options]\n"
        }
        "delete" => {
            "Delete resources by file names, stdin, resources and names, or by resources and label selector.\n\nExamples:\n  # Delete a pod using the type and name specified in pod.json\n  kubectl delete -f ./pod.json\n  \n  # Delete pods and services with label name=myLabel\n  kubectl delete pods,services -l name=myLabel\n  \n  # Delete all pods\n  kubectl delete pods --all\n\nUsage:\n  kubectl delete ([-f FILENAME] | TYPE [(NAME | -l label | --all)]) [options]\n"
        }
        "describe" => {
            "Show details of a specific resource or group of resources.\n\nExamples:\n  # Describe a pod\n  kubectl describe pods/nginx\n\nUsage:\n  kubectl describe (-f FILENAME | TYPE [NAME_PREFIX | -l label] | TYPE/NAME) [options]\n"
        }
        "scale" => {
            "Set a new size for a deployment, replica set, replication controller, or stateful set.\n\nExamples:\n  # Scale a deployment named 'web' to 3\n  kubectl scale --replicas=3 deployment/web\n\nUsage:\n  kubectl scale [--resource-version=version] [--current-replicas=count] --replicas=COUNT (-f FILENAME | TYPE NAME) [options]\n"
        }
        "rollout" => {
            "Manage the rollout of one or many resources.\n\nExamples:\n  # Rollback to the previous deployment\n  kubectl rollout undo deployment/abc\n  \n  # Check the rollout status of a deployment\n  kubectl rollout status deployment/abc\n\nAvailable Commands:\n  history       View rollout history\n  pause         Mark the provided resource as paused\n  restart       Restart a resource\n  resume        Resume a paused resource\n  status        Show the status of the rollout\n  undo          Undo a previous rollout\n\nUsage:\n  kubectl rollout SUBCOMMAND [options]\n"
        }
        "logs" => {
            "Print the logs for a container in a pod or specified resource. If the pod has only one container, the container name is optional.\n\nExamples:\n  # Return snapshot logs from pod nginx with only one container\n  kubectl logs nginx\n  \n  # Begin streaming the logs\n  kubectl logs -f nginx\n  \n  # Return snapshot logs of the previous container\n  kubectl logs -p nginx\n\nUsage:\n  kubectl logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER] [options]\n"
        }
        "explain" => {
            "Describe fields and structure of various resources.\n\nExamples:\n  # Get the documentation of the resource and its fields\n  kubectl explain pods\n  \n  # Get the documentation of a specific field of a resource\n  kubectl explain pods.spec.containers\n\nUsage:\n  kubectl explain TYPE [--recursive=FALSE|TRUE] [--api-version=api-version-group] [options]\n"
        }
        "label" => {
            "Update the labels on a resource.\n\nExamples:\n  # Update pod 'foo' with the label 'unhealthy' and the value 'true'\n  kubectl label pods foo unhealthy=true\n  \n  # Remove a label\n  kubectl label pods foo bar-\n\nUsage:\n  kubectl label [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [options]\n"
        }
        "annotate" => {
            "Update the annotations on one or more resources.\n\nUsage:\n  kubectl annotate [--overwrite] (-f FILENAME | TYPE NAME) KEY_1=VAL_1 ... KEY_N=VAL_N [options]\n"
        }
        "set" => {
            "Configure application resources.\n\nAvailable Commands:\n  env           Update environment variables on a pod template\n  image         Update the image of a pod template\n\nUsage:\n  kubectl set SUBCOMMAND [options]\n"
        }
        "patch" => {
            "Update fields of a resource using strategic merge patch, a JSON merge patch, or a JSON patch.\n\nExamples:\n  kubectl patch deployment web -p '{\"spec\":{\"replicas\":2}}'\n\nUsage:\n  kubectl patch (-f FILENAME | TYPE NAME) [-p PATCH|--patch-file FILE] [options]\n"
        }
        "wait" => {
            "Wait for a specific condition on one or many resources.\n\nExamples:\n  # Wait for the pod \"busybox1\" to contain the status condition of type \"Ready\"\n  kubectl wait --for=condition=Ready pod/busybox1\n\nUsage:\n  kubectl wait ([-f FILENAME] | resource.group/resource.name | resource.group [(-l label | --all)]) [--for=create|--for=delete|--for condition=available|--for=jsonpath='{}'[=value]] [options]\n"
        }
        "expose" => {
            "Expose a resource as a new Kubernetes service.\n\nUsage:\n  kubectl expose (-f FILENAME | TYPE NAME) [--port=port] [--protocol=TCP|UDP|SCTP] [--target-port=number-or-name] [--name=name] [--external-ip=external-ip-of-service] [--type=type] [options]\n"
        }
        "run" => {
            "Create and run a particular image in a pod.\n\nExamples:\n  # Start a hello pod\n  kubectl run hello --image=wasmkube/hello\n\nUsage:\n  kubectl run NAME --image=image [--env=\"key=value\"] [--port=port] [--dry-run=server|client] [--overrides=inline-json] [--command] -- [COMMAND] [args...] [options]\n"
        }
        "diff" => {
            "Diff configurations specified by file name or stdin between the current online configuration, and the configuration as it would be if applied.\n\nUsage:\n  kubectl diff -f FILENAME [options]\n"
        }
        "replace" => "Replace a resource by file name or stdin.\n\nUsage:\n  kubectl replace -f FILENAME [options]\n",
        "api-resources" => {
            "Print the supported API resources on the server.\n\nUsage:\n  kubectl api-resources [flags] [options]\n"
        }
        "api-versions" => {
            "Print the supported API versions on the server, in the form of \"group/version\".\n\nUsage:\n  kubectl api-versions\n"
        }
        "version" => {
            "Print the client and server version information for the current context.\n\nUsage:\n  kubectl version [flags] [options]\n"
        }
        "cluster-info" => {
            "Display addresses of the control plane and services with label kubernetes.io/cluster-service=true.\n\nUsage:\n  kubectl cluster-info [flags] [options]\n"
        }
        "cordon" => "Mark node as unschedulable.\n\nUsage:\n  kubectl cordon NODE [options]\n",
        "uncordon" => "Mark node as schedulable.\n\nUsage:\n  kubectl uncordon NODE [options]\n",
        _ => return None,
    })
}
