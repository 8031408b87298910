import type { TenantStatus } from '../../core/model.ts';
import type { Step } from '../step.ts';
import { forbidLogin } from './access.ts';

function setStatus(status: TenantStatus): Step {
  return {
    probe: async () => false,
    async apply({ sql, tenantId }) {
      await sql.query('UPDATE tenants SET status = $2 WHERE id = $1', [tenantId, status]);
    },
  };
}

export const activate = setStatus('ACTIVE');
export const deactivate = setStatus('INACTIVE');

/** A restored tenant that was suspended before stays so: its login was only needed to verify. */
export const restoreStatus: Step = {
  async probe({ sql, tenantId }) {
    const [tenant] = await sql.query('SELECT status FROM tenants WHERE id = $1', [tenantId]);
    return tenant?.status !== 'INACTIVE';
  },
  apply: forbidLogin,
};
