/** The tenant that exists from the first migration on, for whoever runs ponte for one company. */
export const DEFAULT_TENANT = "00000000-0000-7000-8000-000000000001";
