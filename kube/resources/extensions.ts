/** How the API is extended and guarded. */
import { type Base, type Condition, type LabelSelector, of } from "./common.ts";

export interface ApiService extends Base {
  spec?: {
    group?: string;
    version?: string;
    groupPriorityMinimum: number;
    versionPriority: number;
    service?: { namespace?: string; name?: string; port?: number };
    caBundle?: string;
    insecureSkipTLSVerify?: boolean;
  };
  status?: { conditions?: Condition[] };
}

export interface CustomResourceDefinition extends Base {
  spec: {
    group: string;
    scope: "Namespaced" | "Cluster";
    names: {
      plural: string;
      singular?: string;
      kind: string;
      listKind?: string;
      shortNames?: string[];
      categories?: string[];
    };
    versions: {
      name: string;
      served: boolean;
      storage: boolean;
      schema?: { openAPIV3Schema?: object };
      subresources?: { status?: object; scale?: object };
      additionalPrinterColumns?: object[];
    }[];
    conversion?: { strategy: "None" | "Webhook"; webhook?: { clientConfig?: { caBundle?: string } } };
  };
  status?: { conditions?: Condition[]; storedVersions?: string[] };
}

interface Webhook {
  name: string;
  clientConfig: {
    caBundle?: string;
    url?: string;
    service?: { namespace: string; name: string; path?: string; port?: number };
  };
  rules?: object[];
  failurePolicy?: "Ignore" | "Fail";
  sideEffects: string;
  admissionReviewVersions: string[];
  timeoutSeconds?: number;
  matchPolicy?: string;
  namespaceSelector?: LabelSelector;
  objectSelector?: LabelSelector;
}

export interface ValidatingWebhookConfiguration extends Base {
  webhooks?: Webhook[];
}

export interface MutatingWebhookConfiguration extends Base {
  webhooks?: Webhook[];
}

export const API_SERVICES = of<ApiService>(
  "apiregistration.k8s.io",
  "v1",
  "apiservices",
  "APIService",
  false,
);

export const CUSTOM_RESOURCE_DEFINITIONS = of<CustomResourceDefinition>(
  "apiextensions.k8s.io",
  "v1",
  "customresourcedefinitions",
  "CustomResourceDefinition",
  false,
);

export const VALIDATING_WEBHOOK_CONFIGURATIONS = of<ValidatingWebhookConfiguration>(
  "admissionregistration.k8s.io",
  "v1",
  "validatingwebhookconfigurations",
  "ValidatingWebhookConfiguration",
  false,
);

export const MUTATING_WEBHOOK_CONFIGURATIONS = of<MutatingWebhookConfiguration>(
  "admissionregistration.k8s.io",
  "v1",
  "mutatingwebhookconfigurations",
  "MutatingWebhookConfiguration",
  false,
);
