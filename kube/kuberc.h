#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "kube/config.h"

namespace spillway::kube {

// Whether its user's kuberc lets the credential plugin be run: the file that $KUBERC names, else
// ~/.kube/kuberc where there is one; none with KUBERC=off or KUBECTL_KUBERC=false. Read are
// credentialPluginPolicy (AllowAll, DenyAll, Allowlist) and credentialPluginAllowlist (of
// `command`, or `name`, as it was called first: a path, or a name that is looked up in PATH) of its
// Preference in kubectl.config.k8s.io/v1beta1, as kubectl reads them:
// https://kubernetes.io/docs/reference/kubectl/kuberc/#credential-plugin-policy
// Whatever is wrong with them refuses the plugin. kInvalid: one sentence with the file and why.
Status MayRun(const ExecPlugin& plugin,
              const std::function<std::optional<std::string>(const std::string&)>& env);

}  // namespace spillway::kube
